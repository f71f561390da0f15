"""What new bars are checked for before an agent acts on them, one file per question."""
