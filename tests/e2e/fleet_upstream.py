"""A feature server that costs little: it answers the features that it is asked for, each with a value of its own, until it is
stopped. Writes `listening on PORT` to standard output."""

import asyncio
import json


def answer(query):
    features = query["features"]
    seen = {"statuses": ["PRESENT"], "event_timestamps": ["2026-01-01T00:00:00Z"]}
    columns = {"customer_id": query["entities"]["customer_id"][0]}
    columns |= {name.replace(":", "__"): f"value-of-{name}" for name in features}
    results = [{"values": [value]} | seen for value in columns.values()]
    return json.dumps({"metadata": {"feature_names": list(columns)}, "results": results}).encode()


async def serve(reader, writer):
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
            query = await reader.readexactly(int(fields.get(b"content-length", 0)))
            body = answer(json.loads(query)) if query else b"{}"
            writer.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body
            )
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass  # the other side is done
    finally:
        writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=1000)
    print("listening on", server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
