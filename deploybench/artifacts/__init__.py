"""What was exported, and is it whole and right?"""
