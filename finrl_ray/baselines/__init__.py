"""Accounts without an agent."""
