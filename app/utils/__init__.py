"""Small pieces without knowledge of the business or of the database."""
