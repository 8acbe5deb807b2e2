"""Whether decisions can be delivered to a cluster: what was seen there, to one line a check."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from bridge.argo.kubernetes import NEEDLESS, PULL, PUSH, ClusterSurvey
from bridge.setup.checks import Check, Level

#: Whose controllers were tried.
_TRIED: Final = re.compile(r":v?(3\.7|4\.1)\.")


def examine_cluster(survey: ClusterSurvey) -> tuple[Check, ...]:
    return (_types(survey), *_access(survey), *_admission(survey), _controller(survey))


def _types(survey: ClusterSurvey) -> Check:
    if survey.has_workflows:
        return Check("argo", Level.FINE, "the cluster knows Argo's workflows")
    return Check(
        "argo",
        Level.FAULT,
        "the cluster knows no workflows of Argo",
        "install Argo Workflows there, or set KUBECONFIG to the cluster that has it",
    )


def _access(survey: ClusterSurvey) -> Iterator[Check]:
    lacks = [verb for verb in PULL if not survey.may[verb, "workflows"]]
    place = f"workflows in {survey.namespace}"
    if not lacks:
        says = f"this account delivers to {place}, by push and by pull"
        yield Check("access", Level.FINE, says)
    elif set(lacks) & set(PUSH):
        yield Check(
            "access",
            Level.FAULT,
            f"this account may not {', '.join(lacks)} {place}",
            "apply kubernetes/reconciler.yaml or kubernetes/push.yaml (`hitl init --kubernetes`)",
        )
    else:
        says = f"this account delivers to {place} by push; for pull it lacks {', '.join(lacks)}"
        yield Check("access", Level.FINE, says)
    more = [" ".join(each) for each in NEEDLESS if survey.may[each]]
    if more:
        yield Check(
            "least",
            Level.NOTE,
            f"this account may also {', '.join(more)}, which no delivery needs",
            "take an account of `hitl init --kubernetes`",
        )


def _admission(survey: ClusterSurvey) -> Iterator[Check]:
    """The admission policies, as dry runs of this account showed them."""
    if not survey.may["patch", "workflows"]:
        return
    tried, fix = survey.admission, "apply kubernetes/admission.yaml (`hitl init --kubernetes`)"
    if tried.delivers is False:
        says = "an admission policy refuses what a delivery writes, tried by a dry run"
        yield Check("admission", Level.FAULT, says, fix)
    elif tried.rewrites:
        # An administrator may do so in any case: the policies are for the accounts that deliver.
        everything = any(survey.may[each] for each in NEEDLESS)
        says = "this account may rewrite a waiting workflow, tried by a dry run"
        if everything:
            fix = "to see whether the policies hold, set KUBECONFIG to an account that delivers"
        yield Check("admission", Level.NOTE if everything else Level.FAULT, says, fix)
    elif tried.rewrites is None:
        yield Check(
            "admission",
            Level.NOTE,
            "whether the admission policies hold is not known: this account sees no running"
            " workflow with a gate to try a dry run on",
            "while a gate waits, run this with the account hitl-reconciler",
        )
    else:
        also = ", and a delivery is accepted" if tried.delivers else ""
        says = f"rewriting a workflow is refused{also}, tried by dry runs"
        yield Check("admission", Level.FINE, says)


def _controller(survey: ClusterSurvey) -> Check:
    image = survey.controller
    if image is None:
        says = "which version the controller has cannot be seen with this account"
        return Check("controller", Level.NOTE, says)
    if _TRIED.search(image):
        return Check("controller", Level.FINE, f"the controller is {image}")
    says = f"the controller is {image}; gates were tried with 3.7 and 4.1"
    return Check("controller", Level.NOTE, says)
