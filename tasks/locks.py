"""Temporary locks stand in only as long as those of the checkout name what no mirror has."""

from dataclasses import replace

from oolong.host.files import remove_tree
from oolong.run.project import open_project
from oolong.supply.again import available_again
from oolong.supply.mirror import mirrors
from tasks.session import Session, asked


def try_locks_again(session: Session) -> None:
    """Let the locks of the checkout stand for themselves again, if they can; before any of its stages is declared."""
    if not session.project.unlocked or not session.asks_for_stages:
        return
    if available_again(session.layout, session.project.spec, mirrors):
        session.view.say("the locks hold again: what they name is there")
        remove_tree(session.layout.unlocked)
        own = replace(session.layout, temporary_locks=None)
        session.project = open_project(asked(session.request), own)
    else:
        session.view.say("TEMPORARY LOCKS STAND IN for outdated ones: every result says `unlocked`")
