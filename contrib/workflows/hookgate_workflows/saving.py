"""Writing down what has changed of an instance, in one write."""

from __future__ import annotations

from hookgate_storage import StoreError
from hookgate_workflows.instance import Instance, dumped
from hookgate_workflows.journal import SUCCESS, Journal


async def save(journal: Journal, instance: Instance, now: float, until: float) -> None:
    """Write down what has changed, and hold an instance that runs until a time.

    Raises:
        Fenced: another process has taken the instance.
        StoreError: the journal is away; what has changed is written with the next write.
    """
    async with instance.saving:
        runs = [run for run in instance.runs.values() if run.dirty]
        for run in runs:
            run.dirty = False
        files = [instance.documents[name] for name in instance.new_documents]
        instance.new_documents = set()
        made, instance.calls = instance.calls, []
        also, instance.also = instance.also, []
        graph, definition = instance.graph, None
        if not instance.defined and instance.status != SUCCESS:  # it may go on later, in another process
            definition = {"digest": graph.digest, "name": graph.name, "body": dumped(graph.body), "made": now}
        write = journal.saving(
            instance.row(journal.owner, now, until),
            new=not instance.stored,
            definition=definition,
            runs=[run.row(instance.id, instance.fence) for run in runs],
            files=[
                {
                    "instance": instance.id,
                    "name": each.name,
                    "media_type": each.media_type,
                    "description": each.description,
                    "content": each.content,
                }
                for each in files
            ],
            made=made,
            also=[each.write for each in also],
        )
        try:
            await journal.write(write)
        except StoreError:
            for run in runs:
                run.dirty = True
            instance.new_documents |= {each.name for each in files}
            instance.calls = [*made, *instance.calls]
            instance.also = [*also, *instance.also]
            raise
        instance.stored = True
        instance.defined = instance.defined or definition is not None
    for each in also:
        each.done()
