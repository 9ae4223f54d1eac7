"""Promotion: comparing challenger and champion, checking the gates, and moving the registry's aliases."""
