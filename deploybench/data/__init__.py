"""Which images, and how do they become inputs?"""
