"""What will be measured?"""
