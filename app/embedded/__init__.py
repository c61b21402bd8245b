"""The engines of a bare machine and what `app dev` does with them; never imported in production."""
