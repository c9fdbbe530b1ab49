"""The gold queries of tasks, run before anything trains: one that fails would end an evaluation hours later.

Which queries ran is kept in the run's cache, by the content of the database and the limits they ran under.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from burnish.errors import BurnishError, DataError
from burnish.files import atomic_write_text, open_regular
from burnish.recipes.schema.stage import StageContext
from burnish.rewards.sql import gold_query
from burnish.runs.hashes import digest

if TYPE_CHECKING:
    from burnish.datasets.rows import Task
    from burnish.recipes.schema.judges import SqlJudge

FILE = "cache/gold.json"
MAX_SHOWN = 10


def check_gold(context: StageContext, config: "SqlJudge", tasks: "Sequence[Task]") -> None:
    """Run each distinct gold query once, unless it ran before.

    Raises:
        DataError: naming file and line of the first tasks whose query fails, and why it does.
    """
    file = context.folder.parent / FILE
    known = _read(file)
    limits = [context.input_keys[config.database], config.timeout_seconds, config.memory_limit]
    queries: dict[str, Task] = {}
    for task in tasks:
        if (sql := gold_query(task.row)) is not None:
            queries.setdefault(sql, task)
    new = {sql: key for sql in queries if (key := digest([*limits, sql])) not in known}
    if not new:
        return
    problems: list[str] = []
    with config.open(context) as verifier:
        for sql, key in new.items():
            try:
                verifier.gold(sql)
                known.add(key)
            except DataError as error:
                problems.append(f"{queries[sql].place}: {error}")
                if len(problems) == MAX_SHOWN:
                    problems.append("there may be more")
                    break
    if problems:
        raise DataError("\n".join(problems))
    if context.folder.parent.is_dir():  # a dry run before the first run leaves nothing
        atomic_write_text(file, json.dumps(sorted(known)))


def _read(file: Path) -> set[str]:
    try:
        with open_regular(file) as opened:
            return set(json.loads(opened.read()))
    except (BurnishError, OSError, ValueError, TypeError, RecursionError):
        return set()
