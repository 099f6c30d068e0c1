"""Between a figure and the truth: alike posts on both sides of a split, labels at odds, columns that tell the label."""
