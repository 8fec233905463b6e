/**
 * A server of another kind, on Node: `node server.cjs hocuspocus|y-websocket`. Documents are kept in memory only.
 */

const ADDRESS = "127.0.0.1";

const KINDS = {
  async hocuspocus() {
    const { Server } = require("@hocuspocus/server");
    const server = new Server({ address: ADDRESS, port: 0, quiet: true });
    await server.listen();
    return server.address.port;
  },

  async "y-websocket"() {
    const { createServer } = require("node:http");
    const { WebSocketServer } = require("ws");
    const { setupWSConnection } = require("@y/websocket-server/utils");
    const http = createServer();
    new WebSocketServer({ server: http }).on("connection", setupWSConnection);
    await new Promise((resolve) => http.listen(0, ADDRESS, resolve));
    return http.address().port;
  },
};

KINDS[process.argv[2]]().then((port) => console.log(`listens on http://${ADDRESS}:${port}`));
