"""From probe results to a verdict: pure, with the time handed in.

Slower up than down: `down_after` failures in a row make DOWN, `up_after` successes make UP again; one
success is enough where nothing was DOWN since watching began, or began anew. A held connection's end is a
sign, not a failure: it dates the trouble if a failed probe follows. What the prober did to itself (LOCAL)
counts as nothing, and if nothing else finishes for `stale_s` the verdict is UNKNOWN, as after any gap. Slow
is not dead: a slow success is a success, and says so.
"""

from dataclasses import dataclass, replace

from mailward.model.health import FailureKind, ProbeResult, Verdict


@dataclass(frozen=True, slots=True)
class Thresholds:
    """`slow_s`: a passed probe that took longer is called slow, and stays passed."""

    down_after: int = 2
    up_after: int = 3
    stale_s: float = 12.0
    slow_s: float = 1.0


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is to be said at one moment; times are on the clock of what was fed."""

    verdict: Verdict
    since_s: float
    probed_s: float
    symptom_s: float | None
    evidence: str


@dataclass(frozen=True, slots=True)
class Detection:
    """What is known of one service since `began_s`. Each method returns the next value."""

    began_s: float
    thresholds: Thresholds = Thresholds()
    verdict: Verdict = Verdict.UNKNOWN
    since_s: float | None = None
    was_down: bool = False
    failures: int = 0
    successes: int = 0
    probed_s: float | None = None
    sign_s: float | None = None
    symptom_s: float | None = None
    last: ProbeResult | None = None
    own_fault: str = ""

    def suspected(self, at_s: float) -> "Detection":
        """A held connection was lost or hangs."""
        return self if self.sign_s is not None else replace(self, sign_s=at_s)

    def fed(self, result: ProbeResult, at_s: float) -> "Detection":
        """A probe finished."""
        if result.failure is not None and result.failure.kind is FailureKind.LOCAL:
            return replace(self, own_fault=str(result.failure))
        track = self._resumed(at_s)
        return track._failed(result, at_s) if result.failure is not None else track._passed(result, at_s)

    @property
    def in_doubt(self) -> bool:
        """A sign or a failure that is not yet a verdict: find out now."""
        return self.verdict is not Verdict.DOWN and (self.sign_s is not None or self.failures > 0)

    def judged(self, now_s: float) -> Judgement:
        probed_s = self.began_s if self.probed_s is None else self.probed_s
        since_s = self.began_s if self.since_s is None else self.since_s
        if now_s - probed_s > self.thresholds.stale_s:
            evidence = f"no probe has finished for {now_s - probed_s:.0f} s"
            if self.own_fault:
                evidence += f": {self.own_fault}"
            stale_s = max(since_s, probed_s + self.thresholds.stale_s)
            return Judgement(Verdict.UNKNOWN, stale_s, probed_s, self.symptom_s, evidence)
        evidence = self._evidence()
        if self.own_fault:
            evidence += f"; then {self.own_fault}"
        return Judgement(self.verdict, since_s, probed_s, self.symptom_s, evidence)

    def _resumed(self, at_s: float) -> "Detection":
        """After a gap longer than `stale_s` old verdict and counts mean nothing."""
        if self.probed_s is None or at_s - self.probed_s <= self.thresholds.stale_s:
            return self
        return Detection(
            began_s=self.began_s,
            thresholds=self.thresholds,
            since_s=self.probed_s + self.thresholds.stale_s,
            was_down=self.was_down,
            sign_s=self.sign_s,
        )

    def _failed(self, result: ProbeResult, at_s: float) -> "Detection":
        symptom_s = self.symptom_s
        if symptom_s is None:
            symptom_s = at_s if self.sign_s is None else self.sign_s
        track = replace(
            self, probed_s=at_s, last=result, own_fault="", sign_s=None,
            failures=self.failures + 1, successes=0, symptom_s=symptom_s,
        )  # fmt: skip
        if track.failures < self.thresholds.down_after or self.verdict is Verdict.DOWN:
            return track
        return replace(track, verdict=Verdict.DOWN, since_s=at_s, was_down=True)

    def _passed(self, result: ProbeResult, at_s: float) -> "Detection":
        successes = self.successes + 1
        up = self.verdict is Verdict.UP
        if up or successes >= (self.thresholds.up_after if self.was_down else 1):
            since_s = self.since_s if up else at_s
            return Detection(
                self.began_s, self.thresholds, Verdict.UP, since_s,
                successes=successes, probed_s=at_s, last=result,
            )  # fmt: skip
        return replace(
            self, probed_s=at_s, last=result, own_fault="", sign_s=None, failures=0, successes=successes
        )

    def _evidence(self) -> str:
        if self.last is None:
            return "not probed yet"
        if self.last.failure is not None:
            text = str(self.last.failure)
            return text if self.failures == 1 else f"{text} ({self.failures} in a row)"
        if self.verdict is not Verdict.UP:
            return f"passed again, {self.successes} of {self.thresholds.up_after} in a row"
        spent_s = self.last.seconds
        if spent_s > self.thresholds.slow_s:
            worst = max(self.last.stages, key=lambda stage: stage.seconds)
            return f"slow: passed in {spent_s:.1f} s ({worst.stage} {worst.seconds:.1f} s)"
        return f"passed in {spent_s * 1000:.0f} ms"
