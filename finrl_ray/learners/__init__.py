"""SB3's training code, faster."""
