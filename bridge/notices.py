"""Tell people, through any Apprise URL, without ever holding up a gate."""

from __future__ import annotations

from bridge.model import ApprovalRequest, Decision


class Silent:
    """The `Notices` port where nobody asked to be told."""

    def opened(self, request: ApprovalRequest) -> None:
        pass

    def reminded(self, request: ApprovalRequest) -> None:
        pass

    def decided(self, request: ApprovalRequest, decision: Decision) -> None:
        pass
