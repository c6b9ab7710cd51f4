"""The page of `ssl_ood detect`: one file that needs nothing else, no network included."""
