"""What does an artifact answer?"""
