import { createServer } from "node:http";
import { greet } from "@example/greeting";

const port = Number(process.env.PORT);

const server = createServer((request, response) => {
  response.setHeader("content-type", "application/json");
  if (request.url === "/healthz") {
    response.end(JSON.stringify({ ok: true }));
  } else if (request.url === "/api/greeting") {
    response.end(
      JSON.stringify({
        greeting: greet("worktree"),
        slot: process.env.DEVRUN_SLOT ?? null,
        pid: process.pid,
      }),
    );
  } else {
    response.statusCode = 404;
    response.end(JSON.stringify({ error: `no route ${request.url}` }));
  }
});

server.listen(port, () => console.log(`api listens on ${port}`));
