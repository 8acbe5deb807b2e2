"""Who may decide: the policy file and its evaluation."""
