// The document's reply with Node's tls. 'data' comes once a record; the socket is corked for the rest
// of the turn, as Node's stream documentation advises for many small writes. Usage: node server.js
// CERT KEY; the port is told on stderr.
'use strict';

const fs = require('fs');
const tls = require('tls');

const prefix = Buffer.from('你好，我已收到你的消息：');
const [cert, key] = process.argv.slice(2, 4).map((name) => fs.readFileSync(name));

const settings = {
  cert,
  key,
  minVersion: 'TLSv1.2',
  ciphers: 'TLS_AES_128_GCM_SHA256:ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256',
  ecdhCurve: 'X25519:P-256',
  noDelay: true,
};

const server = tls.createServer(settings, (socket) => {
  let corked = false;
  const uncork = () => {
    corked = false;
    socket.uncork();
  };

  socket.on('data', (message) => {
    if (!corked) {
      corked = true;
      socket.cork();
      process.nextTick(uncork);
    }
    socket.write(Buffer.concat([prefix, message]));
  });
  socket.on('error', () => socket.destroy());
});

server.listen({ host: '127.0.0.1', port: 0, backlog: 4096 }, () => {
  process.stderr.write(`bench-node: listening on 127.0.0.1:${server.address().port}\n`);
});
