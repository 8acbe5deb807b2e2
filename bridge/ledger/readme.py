"""The page at the top of every ledger."""

README = """\
# The ledger of approvals

Every decision that the approval bridge recorded, one commit each. `git log --first-parent` is
the audit log. `gates/<a>/<b>/<c>/<id>/` has what was asked (`request.yaml`, `request.md`) and
what was decided (`decision.yaml`). This branch only ever moves forward.
"""
