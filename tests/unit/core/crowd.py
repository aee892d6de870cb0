"""A crowd: a scene of many nodes behind two endpoints, replicating in pairs as mail servers do."""

from tests.unit.core.scene import Scene, facts, imap_and_smtp, policy_of

from mailward.model.replication import Confidence, Lag


def crowd(size: int) -> Scene:
    """`size` nodes, all well; nothing is recorded yet."""
    names = [f"mail-{i:04}" for i in range(size)]
    scene = Scene(policy_of(names[:1]))  # a scene of its own accord measures lag between all of its nodes
    scene.policy = policy_of(names, imap_and_smtp(names))
    scene.facts = {name: facts(name) for name in names}
    for a, b in zip(names[::2], names[1::2], strict=False):
        scene.lags[a, b] = Lag(a, b, Confidence.KNOWN, 0.0, 0, 0)
        scene.lags[b, a] = Lag(b, a, Confidence.KNOWN, 0.0, 0, 0)
    return scene


def settled(size: int) -> Scene:
    """Everything claimed, published and verified."""
    scene = crowd(size)
    decision = scene.settle()
    assert decision.state.operation is None
    assert not decision.state.orders
    return scene
