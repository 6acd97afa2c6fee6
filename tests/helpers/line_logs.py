"""A small log of a line, and hands that change what they must not."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from mmdefect.line.log import DecisionLog


def small_log(path: Path) -> DecisionLog:
    """Six rows: two days, two versions, two kinds of defects, a verdict."""
    log = DecisionLog(path)
    found = ['scratch'], ['dent', 'scratch'], [], []
    for number, kinds in enumerate(found):
        log.append(
            'decision',
            time=f'2026-11-{29 + number // 2}T12:00:0{number}',
            version=f'v000{1 + number // 3}',
            image=f'{number:064x}',
            source=f'/photos/{number}.png',
            product='cable',
            decision='defective' if kinds else 'ok',
            score=0.25 * number,
            threshold=0.5,
            kinds=kinds,
            body={'brightness': 100 + number, 'queued': 'margin' if kinds else None},
        )
    log.append(
        'verdict',
        time='2026-11-30T13:00:00',
        image=f'{2:064x}',
        decision='missed',
        kinds=['dent'],
    )
    log.append('promotion', time='2026-11-30T14:00:00', version='v0002')
    return log


def tamper(path: Path, *statements: str) -> None:
    """Change a log's file as somebody who knows SQLite would: the guards are back."""
    db = sqlite3.connect(path)
    guards = db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
    told = guards.fetchall()
    for name, _ in told:
        db.execute(f'DROP TRIGGER {name}')
    for statement in (*statements, *(text for _, text in told)):
        db.execute(statement)
    db.commit()
    db.close()
