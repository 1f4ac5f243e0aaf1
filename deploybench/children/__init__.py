"""How do other processes run, and how is their end seen to?"""
