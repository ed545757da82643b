#!/usr/bin/env python3
"""`lotse serve` under long load: nothing leaks, nothing accepted is lost, slow clients harm no other.

usage: soak.py LOTSE MODEL [SCENARIO ...] [--whole]

disconnects  many requests, 30 % of whose clients go at some stage: KV blocks, descriptors and
             memory end where they began
drain        SIGTERM under load, again and again: exit code 0, every accepted request finished
queue        a full queue: refusals are quick, what was accepted is answered
slow         connections that send a byte now and then: the p99 of others stays

Small sizes are for the tests of every day, which judge no times; --whole for the figures of
docs/robustness.md.
"""

import argparse
import asyncio
import collections
import contextlib
import json
import os
import random
import re
import resource
import signal
import statistics
import subprocess
import sys
import time

SIZES = {
    # scenario: (small, whole)
    "disconnects": ({"requests": 300, "users": 64}, {"requests": 20_000, "users": 128}),
    "drain": ({"rounds": 3}, {"rounds": 50}),
    "queue": ({"refused": 40, "tokens": 1500, "most": None}, {"refused": 2000, "tokens": 1900, "most": 50}),
    "slow": (
        {"connections": 200, "rounds": 1, "requests": 40, "most": None},
        {"connections": 1000, "rounds": 9, "requests": 3000, "most": 1.1},
    ),
}
HEAD = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


class Failure(Exception):
    pass


def expect(holds, message):
    if not holds:
        raise Failure(message)


def request_bytes(body, close=True):
    data = json.dumps(body).encode()
    end = "Connection: close\r\n" if close else ""
    return f"{HEAD}{end}Content-Length: {len(data)}\r\n\r\n".encode() + data


class Server:
    def __init__(self, lotse, model, *arguments):
        self.process = subprocess.Popen(
            [lotse, "serve", model, "--port", "0", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.port = int(re.search(r"://\S+:(\d+): ", self.process.stdout.readline())[1])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def connect(self):
        return asyncio.open_connection("127.0.0.1", self.port)

    async def ask(self, data):
        """Everything that comes back until the server closes."""
        reader, writer = await self.connect()
        try:
            writer.write(data)
            return await reader.read(-1)
        finally:
            await close(writer)

    async def metrics(self):
        request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        text = (await self.ask(request)).decode().replace("\r", "")
        value = lambda name: float(re.search(rf"^lotse:{name}\S* (\S+)$", text, re.M)[1])
        return {
            name: value(name)
            for name in ["num_requests_running", "num_requests_waiting", "kv_cache_usage_perc"]
        }

    async def wait_until_idle(self, seconds):
        end = time.monotonic() + seconds
        while any((await self.metrics()).values()):
            expect(time.monotonic() < end, f"not idle after {seconds} s: {await self.metrics()}")
            await asyncio.sleep(0.1)

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def memory(self):
        """Resident MiB."""
        with open(f"/proc/{self.process.pid}/statm") as statm:
            return int(statm.read().split()[1]) * resource.getpagesize() / 2**20


async def close(writer):
    writer.close()
    with contextlib.suppress(ConnectionError, asyncio.TimeoutError):
        await asyncio.wait_for(writer.wait_closed(), 5)


def status_of(answer):
    match = re.match(rb"HTTP/1\.1 (\d+)", answer)
    return int(match[1]) if match else 0


# ---- disconnects


async def go_away(server, rng, data, stream):
    """A client that goes at some stage, and which that was."""
    stage = rng.choice(["connected", "in head", "in body", "sent", "in answer"])
    cut = {
        "connected": 0,
        "in head": rng.randrange(1, data.index(b"\r\n\r\n")),
        "in body": rng.randrange(data.index(b"\r\n\r\n") + 4, len(data)),
    }.get(stage, len(data))
    reader, writer = await server.connect()
    try:
        writer.write(data[:cut])
        if stage == "sent":
            await asyncio.sleep(rng.random() * 0.2)
        if stage == "in answer":
            await reader.read(rng.randrange(1, 600))
        if rng.random() < 0.5:
            writer.transport.abort()  # a reset, not an end
    finally:
        await close(writer)
    return f"went {stage}"


async def disconnects(lotse, model, requests, users):
    rng = random.Random(1)
    counts = collections.Counter()
    memory = []
    with Server(lotse, model, "--max-queued", 1000, "--cache-tokens", 16384, "--context", 1024) as server:

        async def one(index):
            body = {
                "prompt": f"Question {rng.randrange(requests)}: what is {index} plus 25?",
                "max_tokens": rng.randrange(1, 13),
                "stream": rng.random() < 0.5,
                "n": 2 if rng.random() < 0.1 else 1,
                "ignore_eos": True,
            }
            data = request_bytes(body)
            if rng.random() < 0.3:
                counts[await go_away(server, rng, data, body["stream"])] += 1
                return
            answer = await server.ask(data)
            expect(status_of(answer) == 200, f"expected 200: {answer[:300]}")
            whole = b"data: [DONE]\n\n" in answer if body["stream"] else answer.endswith(b"}")
            expect(whole, f"an answer is cut: {answer[-200:]}")
            counts["answered"] += 1

        indices = iter(range(requests))

        async def user():
            for index in indices:
                await one(index)
                if index % (requests // 20) == 0:
                    memory.append(server.memory())

        await one(0)
        await server.wait_until_idle(30)
        before = server.descriptors()
        start = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for _ in range(users):
                group.create_task(user())
        seconds = time.monotonic() - start
        await server.wait_until_idle(30)
        for _ in range(50):
            if server.descriptors() <= before:
                break
            await asyncio.sleep(0.1)
        after = server.descriptors()
        expect(after <= before, f"{before} descriptors before, {after} after")
        # The first fifth touches what is allocated once: cache, buffers, arenas.
        settled, last = memory[len(memory) // 5], server.memory()
        expect(last < settled + 16, f"memory grew from {settled:.1f} to {last:.1f} MiB: {memory}")
    print(f"disconnects: {requests} requests, {users} at once, {seconds:.0f} s: {dict(counts)}")
    print(
        f"  KV blocks in use 0; descriptors {before} → {after}; resident MiB {memory[0]:.1f} at the "
        f"start, {settled:.1f} after a fifth, {last:.1f} at the end"
    )


# ---- drain


async def drain(lotse, model, rounds):
    rng = random.Random(2)
    counts = collections.Counter()
    for _ in range(rounds):
        arguments = ["--max-sequences", 4, "--max-queued", 16, "--context", 512]
        with Server(lotse, model, *arguments) as server:
            sent = []  # (when, the answer to come)

            async def ask(stream):
                body = {"prompt": "a", "max_tokens": rng.randrange(1, 60), "stream": stream}
                try:
                    return await server.ask(request_bytes({**body, "ignore_eos": True}))
                except ConnectionError as error:
                    return str(error).encode()

            async def load():
                while True:
                    stream = rng.random() < 0.5
                    task = asyncio.create_task(ask(stream))
                    sent.append((time.monotonic(), stream, task))
                    await asyncio.sleep(rng.random() * 0.02)

            loading = asyncio.create_task(load())
            await asyncio.sleep(0.2 + rng.random())
            signalled = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            await asyncio.sleep(0.1)
            loading.cancel()
            for when, stream, task in sent:
                answer = await asyncio.wait_for(task, 60)
                status = status_of(answer)
                if status == 200:
                    whole = b"data: [DONE]\n\n" in answer if stream else answer.endswith(b"}")
                    expect(whole, f"an accepted request was cut: {answer[-200:]}")
                elif status in (429, 503):
                    expect(b"Retry-After" in answer, answer)
                else:
                    # Refused after the signal only, when nobody listens any more.
                    late = when > signalled - 0.05
                    expect(late, f"no answer to a request of {signalled - when:.3f} s before: {answer}")
                counts[status or "refused"] += 1
            code = await asyncio.to_thread(server.process.wait, 30)
            expect(code == 0, f"exit code {code}")
    print(f"drain: {rounds} × SIGTERM under load, exit code 0 each time; answers by status {dict(counts)}")


# ---- queue


async def queue(lotse, model, refused, tokens, most):
    with Server(lotse, model, "--max-sequences", 2, "--max-queued", 8, "--context", 2048) as server:
        long = request_bytes({"prompt": "a", "max_tokens": tokens, "ignore_eos": True})
        sent, accepted, times = [], 0, []
        end = time.monotonic() + 300
        while len(times) < refused:
            expect(time.monotonic() < end, f"only {len(times)} were refused")
            if sum(not task.done() for task in sent) < 10:  # the server has room for as many
                sent.append(asyncio.create_task(server.ask(long)))
                await asyncio.sleep(0.02)
                continue
            start = time.monotonic()
            answer = await server.ask(long)
            if status_of(answer) == 200:  # room was made meanwhile
                sent.append(asyncio.create_task(asyncio.sleep(0, answer)))
                continue
            expect(status_of(answer) == 429 and b"Retry-After: " in answer, answer)
            times.append((time.monotonic() - start) * 1000)
        for answer in await asyncio.gather(*sent):
            if status_of(answer) == 429:
                continue
            expect(b'"completion_tokens":%d' % tokens in answer, f"an accepted request: {answer[-300:]}")
            accepted += 1
    times.sort()
    p50, p99 = times[len(times) // 2], times[len(times) * 99 // 100]
    expect(most is None or p99 < most, f"refusals take {p99:.1f} ms")
    print(
        f"queue: {len(times)} × 429 with Retry-After: p50 {p50:.1f} ms, p99 {p99:.1f} ms, "
        f"max {times[-1]:.1f} ms; all {accepted} accepted requests answered whole"
    )


# ---- slow


async def trickle(port, connections):
    """Connections that send one byte of a request every three seconds, and come again when cut off."""
    data = request_bytes({"prompt": "a" * 400})

    async def one():
        await asyncio.sleep(random.random() * 3)
        while True:
            with contextlib.suppress(ConnectionError, OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                try:
                    for i in range(len(data) - 1):
                        writer.write(data[i : i + 1])
                        await asyncio.sleep(3)
                        if writer.transport.is_closing():
                            break
                finally:
                    writer.transport.abort()

    async with asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(one())


def p99(lotse, port, requests):
    run = subprocess.run(
        [lotse, "bench", "--serve", f"http://127.0.0.1:{port}", "--json", "--requests", str(requests),
         "--concurrency", "2", "--input-tokens", "16", "--output-tokens", "8"],
        capture_output=True,
        text=True,
    )  # fmt: skip
    expect(run.returncode == 0, run.stdout[-2000:] + run.stderr)
    return json.loads(run.stdout)["e2e_ms"]["p99"]


async def slow(lotse, model, connections, rounds, requests, most):
    ratios, without, beside = [], [], []
    with Server(lotse, model) as server:
        p99(lotse, server.port, requests)
        for _ in range(rounds):
            without.append(p99(lotse, server.port, requests))
            slow_ones = subprocess.Popen(
                [sys.executable, __file__, "--trickle", str(server.port), str(connections)]
            )
            try:
                while server.descriptors() < connections:
                    expect(slow_ones.poll() is None, "the slow clients ended")
                    await asyncio.sleep(0.1)
                await asyncio.sleep(1)
                beside.append(p99(lotse, server.port, requests))
            finally:
                slow_ones.terminate()
                slow_ones.wait()
            while server.descriptors() > connections // 2:
                await asyncio.sleep(0.1)
            ratios.append(beside[-1] / without[-1])
            if rounds > 1:
                print(f"  round {len(ratios)}: {without[-1]:.1f} ms alone, {beside[-1]:.1f} ms beside", flush=True)
    median = statistics.median
    print(
        f"slow: p99 of {requests} requests {median(without):.1f} ms alone, {median(beside):.1f} ms "
        f"beside {connections} slow connections; median ratio of {rounds} rounds {median(ratios):.3f} "
        f"({min(ratios):.2f} to {max(ratios):.2f})"
    )
    expect(most is None or median(ratios) <= most, f"the p99 of others grew by more than {most}")


def main():
    if sys.argv[1:2] == ["--trickle"]:
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
        return asyncio.run(trickle(int(sys.argv[2]), int(sys.argv[3])))
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("lotse")
    parser.add_argument("model")
    parser.add_argument("scenarios", nargs="*", default=list(SIZES), metavar="SCENARIO")
    parser.add_argument("--whole", action="store_true")
    arguments = parser.parse_intermixed_args()
    failed = False
    for name in arguments.scenarios:
        size = SIZES[name][arguments.whole]
        try:
            asyncio.run(globals()[name](arguments.lotse, arguments.model, **size))
        except* Failure as failures:
            failed = True
            print(f"{name}: FAILED: {failures.exceptions[0]}")
        sys.stdout.flush()
    return failed


if __name__ == "__main__":
    sys.exit(main())
