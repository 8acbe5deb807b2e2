"""Whether decisions can be delivered to a cluster: what was seen there, to one line a check."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from bridge.argo.guard import default_faults
from bridge.argo.kubernetes import NEEDLESS, PULL, PUSH, SERVER, ClusterSurvey
from bridge.core.errors import BridgeError
from bridge.core.yaml_text import load
from bridge.setup.checks import Check, Level

#: Whose controllers were tried.
_TRIED: Final = re.compile(r":v?(3\.7|4\.1)\.")


def examine_cluster(survey: ClusterSurvey) -> tuple[Check, ...]:
    return (
        _types(survey),
        *_access(survey),
        *_admission(survey),
        _controller(survey),
        *_configuration(survey),
    )


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
    elif not set(lacks) & set(PUSH):
        says = f"this account delivers to {place} by push; for pull it lacks {', '.join(lacks)}"
        yield Check("access", Level.FINE, says)
    elif all(survey.may[verb, "workflows"] for verb in SERVER):
        says = f"this account delivers to {place} through Argo Server, with its token"
        yield Check("access", Level.FINE, says)
    else:
        yield Check(
            "access",
            Level.FAULT,
            f"this account may not {', '.join(lacks)} {place}",
            "apply kubernetes/reconciler.yaml or kubernetes/push.yaml (`hitl init --kubernetes`)",
        )
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
    if not any(survey.may[verb, "workflows"] for verb in ("patch", "update")):
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


#: Under which a person starts the templates that are there, and no others.
_RESTRICTED: Final = ("Strict", "Secure")


def _configuration(survey: ClusterSurvey) -> Iterator[Check]:
    """What the controller's configuration does to gates, if this account may read it."""
    if survey.configuration is None:
        return
    try:
        defaults = _mapping(_part(survey.configuration, "workflowDefaults").get("spec"))
        around = _mapping(defaults.get("templateDefaults"))
        restricts = _part(survey.configuration, "workflowRestrictions")
        faults = default_faults({**defaults, "templateDefaults": around})
    except BridgeError as error:
        yield Check("defaults", Level.NOTE, f"the controller's configuration: {error}")
        return
    if faults:
        says = f"the controller's workflowDefaults: {'; '.join(faults)}"
        yield Check("defaults", Level.FAULT, says, "take it out of the controller's configuration")
    elif defaults.get("retryStrategy") or around.get("retryStrategy"):
        yield Check(
            "defaults",
            Level.NOTE,
            "the controller's workflowDefaults retry every template: the pod of a shut gate is"
            " started again, and shut again",
            "give guarded templates a retryStrategy of their own",
        )
    else:
        says = "the controller's workflowDefaults change nothing of a gate"
        yield Check("defaults", Level.FINE, says)
    if restricts.get("templateReferencing") in _RESTRICTED:
        says = "a workflow can only refer to a template, and not replace what is in it"
        yield Check("referencing", Level.FINE, says)
    else:
        yield Check(
            "referencing",
            Level.NOTE,
            "anyone who may create workflows can write one without a gate",
            "set workflowRestrictions.templateReferencing to Strict, if people start templates",
        )


def _part(configuration: Mapping[str, str], key: str) -> Mapping[str, Any]:
    """One setting. Older installations have all of them in one text, under `config`."""
    if "config" in configuration:
        return _mapping(load(configuration["config"], "its `config`").get(key))
    text = configuration.get(key, "")
    return load(text, f"its `{key}`") if text.strip() else {}


def _mapping(found: object) -> Mapping[str, Any]:
    return found if isinstance(found, Mapping) else {}
