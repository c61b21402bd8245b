"""What this module does when others have news: one file for each of them."""
