"""The programs that make and judge the shipped weights."""
