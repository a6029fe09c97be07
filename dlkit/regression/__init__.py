"""Shared by tasks that predict numbers: quantiles and intervals."""
