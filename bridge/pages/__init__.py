"""What people see and write on a gate's pull request or issue."""
