"""Has anything become worse than is accepted, and what is it held against?"""
