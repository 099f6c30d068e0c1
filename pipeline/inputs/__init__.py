"""What an encoder is fed: texts and photos, each with its state and a mark by which a change is noticed."""
