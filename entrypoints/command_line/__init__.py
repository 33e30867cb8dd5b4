"""What the commands share: their words read, their outcome said, their terminal answered."""
