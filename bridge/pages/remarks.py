"""Words beside `/approve`: plain praise, or something that takes the approval back.

An approval has no conditions. Nobody can list all the ways to say "later", so words on the line of
the command must hold praise as well. If in doubt, it is no approval, and its author reads why.
"""

from __future__ import annotations

import re
import unicodedata

#: What takes an approval back, puts it off or limits it. A false alarm costs one more comment.
_DOUBTS = r"""
no non none nope nah nay not never neither nor cannot [^\W_]+n['’]t
(?:do|ca|wo|is|are|was|does|did|had|has|have|ai|should|would|could|must)nt unable
without refuse\w* declin\w* den(?:y|ied) reject\w* disapprov\w* disagree\w*
against oppos\w* block\w* abort\w* cancel\w* revert\w* if iff when whenever
once after afterwards unless until till? provided providing? assum\w+
suppos\w+ given pending subject condition\w* contingent depend\w*
require[sd]? requiring in\scase as\slong so\slong as\ssoon by\sthe\stime
only just except\w* exclud\w* minus modulo besides but however though
although yet before first must should shall would could might may ought
needs? needed please pls plz has\sto have\sto wait\w* hold\w* hang paus\w*
postpon\w* defer\w* delay\w* stop\w* later soon eventually tomorrow tonight
next weekend (?:mon|tues|wednes|thurs|fri|satur|sun)day midnight noon maybe
perhaps prob\w+ possibly tentativ\w* provisional\w* partial\w* partly almost
nearly unsure doubt\w* question\w* concern\w* worr(?:y|ied) wip tbd todo
fix\w* broken break\w* fail\w* wrong bad poor sorry careful\w* caution\w*
red revisit\w* recheck retry check\sfirst premature early undecided nein
nicht kein\w* wenn falls sobald erst aber nur später warte\w* bis solange
nee niet maar als pas wacht pero cuando solo hasta espera\w* si mais quand
seulement attend\w* senão não quando però aspetta se ma ancora ainda todavía aún encore noch nog
ne nie nej inte ikke ei ale jeszcze ještě hayır değil ama bekle
"""
_DOUBT = re.compile(rf"(?<![^\W_])(?:{'|'.join(_DOUBTS.split())})(?![^\W_])|[?]", re.IGNORECASE)
#: "no objections" is praise.
_NO_DOUBT = re.compile(
    r"(?<![^\W_])(?:no|without|nothing)\s(?:any\s|more\s|further\s|other\s|to\s)?(?:add|issues?|problems?|"
    r"objections?|concerns?|complaints?|blockers?|remarks?|questions?|comments?|notes?|regressions?|"
    r"worries)(?![^\W_])",
    re.IGNORECASE,
)
_PRAISES = r"""
lgtm sgtm wfm good great fine nice ok okay okey k thanks? thx ty cheers
perfect\w* excellent\w* awesome amazing brilliant fantastic wonderful superb
super cool lovely love well ship go yes yep yeah yup yay aye sure absolutely
approved? approving agree[ds]? accepted accept done looks works? working
worked checked verified tested reviewed confirmed ready happy clean solid
sound right correct safe green passed passes better best kudos congrats
congratulations bravo merci danke gracias grazie obrigad[oa] gut prima bien
bon genau ja oui sí vale [+]1 :[+]1: :thumbsup: :tada: :rocket: :ship:
:shipit: :white_check_mark: :heavy_check_mark: :heart: :ok_hand: :ok: :clap:
:fire: :100: :sparkles: :raised_hands: 👍 ✅ ✔ ☑ 🎉 🚀 🚢 ❤ 👌 👏 🔥 💯 ✨ 🙌 🆗 😀 😃 😄 😊
🙂 🙏 💚 🥳 🤝
"""
_PRAISE = re.compile(
    "|".join(
        rf"(?<![^\W_]){each}(?![^\W_])" if each[0].isalpha() else rf"(?<![\w+-]){each}"
        for each in _PRAISES.split()
    ),
    re.IGNORECASE,
)
_BAD_MARK = re.compile(
    r":-1:|(?<!\w)-1(?!\w)|:(?:thumbsdown|x|no_entry\w*|stop_sign|octagonal_sign|hourglass\w*"
    r"|warning|construction|thinking\w*|raised_hand|confused|question|eyes):"
    "|[👎❌✖❎🚫⛔🛑✋⏳⌛⏸⏰⚠🚧🤔😕❓❔🙅🔴]|~~"
)
#: Nobody here can read it: a "not yet" in letters other than Latin ones looks like any other word.
#: A single Greek letter names a parameter.
_UNREAD = re.compile(
    r"[\u0370-\u03ff]{2,}+|[^\W\d_A-Za-z\u00aa-\u024f\u0370-\u03ff\u1e00-\u1eff]++"
)
_WORDS = re.compile(r"[^\W_]")
_SENTENCE = re.compile(r"[\n.;!?…:]+\s*")


def doubt(text: str) -> str | None:
    """The first word that makes an approval conditional, late or none; None if there is none."""
    plain = _plain(text)
    found = (
        _DOUBT.search(_NO_DOUBT.sub(" ", plain)) or _BAD_MARK.search(plain) or _UNREAD.search(plain)
    )
    return found[0] if found else None


def leading_doubt(text: str) -> str | None:
    """The same, of sentences that begin with it."""
    for each in _SENTENCE.split(_NO_DOUBT.sub(" ", _plain(text))):
        found = _DOUBT.match(re.sub(r"^(?:and\s|or\s|[\W_])+", "", each, flags=re.IGNORECASE))
        if found:
            return found[0]
    return None


def praises(text: str) -> bool:
    """Whether something in it plainly agrees."""
    return _PRAISE.search(_NO_DOUBT.sub(" ok ", _plain(text))) is not None


def says_something(text: str) -> bool:
    """Whether it holds more than marks and emoji."""
    return _WORDS.search(_plain(text)) is not None


def _plain(text: str) -> str:
    """The text as it looks: letters of other widths and unseen characters do not matter."""
    folded = unicodedata.normalize("NFKC", text)
    return "".join(each for each in folded if unicodedata.category(each) != "Cf")


#: `/withdraw my objection`, `/withdraw the hold`: not the request.
_OWN_WORD = re.compile(
    r"\W*(?:i\s\W*)?(?:withdraw\w*\s)?(?:my|mine|our)\b(?:\s\w+){0,2}?\s"
    r"(?:objections?|holds?|reviews?|votes?|approvals?|rejections?|comments?|concerns?|changes|no|yes"
    r"|lgtm|[-+]1)\b"
    r"|\W*(?:(?:the|this|that|an?|previous|earlier|last)\s)*"
    r"(?:objections?|holds?|reviews?|votes?|approvals?|rejections?|lgtm)\W*\Z",
    re.IGNORECASE,
)


def takes_back_own(reason: str) -> bool:
    """Whether the words behind `/withdraw` are about the author's own answer."""
    return _OWN_WORD.match(reason) is not None
