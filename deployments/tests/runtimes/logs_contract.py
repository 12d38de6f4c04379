"""What the logs of every runtime are like; a part of its contract."""

from datetime import UTC, datetime, timedelta

import pytest

from deployments.tests.runtimes.harness import ended, key_of, ready


class LogsContract:
    def test_logs_are_everything_written_or_the_last_lines(self, harness, runtime):
        spec = harness.launch_spec(harness.says_three_lines())
        runtime.start(spec)
        ended(runtime, spec)
        assert b"".join(runtime.logs(key_of(spec))) == b"one\ntwo\nthree\n"
        assert b"".join(runtime.logs(key_of(spec), tail=2)) == b"two\nthree\n"

    def test_logs_can_begin_at_a_moment(self, harness, runtime):
        spec = harness.launch_spec(harness.says_three_lines())
        runtime.start(spec)
        now = ended(runtime, spec).ended_at or datetime.now(UTC)
        day = timedelta(days=1)
        everything = b"one\ntwo\nthree\n"
        assert b"".join(runtime.logs(key_of(spec), since=now - day)) == everything
        assert b"".join(runtime.logs(key_of(spec), since=now + day)) == b""

    @pytest.mark.parametrize("follow", [False, True])
    def test_each_line_may_begin_with_its_time(self, harness, runtime, follow):
        spec = harness.launch_spec(harness.says_three_lines())
        runtime.start(spec)
        ended(runtime, spec)
        written = b"".join(runtime.logs(key_of(spec), timestamps=True, follow=follow))
        stamps, texts = zip(*(line.split(b" ", 1) for line in written.splitlines()), strict=True)
        assert texts == (b"one", b"two", b"three")
        times = [datetime.fromisoformat(stamp.decode()) for stamp in stamps]
        assert times == sorted(times)
        assert all(at.tzinfo for at in times)
        last = b"".join(runtime.logs(key_of(spec), timestamps=True, tail=1))
        assert last == stamps[2] + b" three\n"

    def test_logs_are_followed_until_the_replica_ends(self, harness, runtime):
        spec = harness.launch_spec(harness.says_three_lines_and_runs_on())
        runtime.start(spec)
        ready(runtime, spec)
        written = runtime.logs(key_of(spec), follow=True)
        heard = b""
        while heard.count(b"\n") < 3:
            heard += next(written)
        runtime.stop(key_of(spec), grace_s=0)
        assert heard + b"".join(written) == b"one\ntwo\nthree\n"

    def test_a_follower_may_leave_while_nothing_is_written(self, harness, runtime):
        spec = harness.launch_spec(harness.sleeps())
        runtime.start(spec)
        ready(runtime, spec)
        written = runtime.logs(key_of(spec), follow=True)
        assert next(written) == b""
        written.close()
        assert len(runtime.observe()) == 1

    def test_a_missing_replica_has_no_logs(self, harness, runtime):
        absent = key_of(harness.launch_spec(harness.sleeps()))
        assert list(runtime.logs(absent)) == []
        assert list(runtime.logs(absent, follow=True)) == []
