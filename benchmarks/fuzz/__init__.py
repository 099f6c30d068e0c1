"""What strangers hand over, spoilt at random: nothing crashes, hangs, is lost without a word or made up."""
