"""The business: one package a module, none of which knows another."""
