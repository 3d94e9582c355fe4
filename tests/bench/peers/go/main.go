// The document's reply with Go's crypto/tls: a goroutine per connection, one buffer each, one Read
// per record and one Write per reply. Usage: bench-go CERT KEY; the port is told on stderr.
package main

import (
	"crypto/tls"
	"fmt"
	"net"
	"os"
)

const prefix = "你好，我已收到你的消息："

func serve(conn net.Conn) {
	defer conn.Close()
	buffer := make([]byte, len(prefix)+16384)
	copy(buffer, prefix)
	for {
		n, err := conn.Read(buffer[len(prefix):])
		if n > 0 {
			if _, failed := conn.Write(buffer[:len(prefix)+n]); failed != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: bench-go CERT KEY")
		os.Exit(2)
	}
	pair, err := tls.LoadX509KeyPair(os.Args[1], os.Args[2])
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-go:", err)
		os.Exit(1)
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates:     []tls.Certificate{pair},
		MinVersion:       tls.VersionTLS12,
		CurvePreferences: []tls.CurveID{tls.X25519, tls.CurveP256},
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-go:", err)
		os.Exit(1)
	}
	fmt.Fprintln(os.Stderr, "bench-go: listening on", listener.Addr())
	for {
		conn, err := listener.Accept()
		if err != nil {
			fmt.Fprintln(os.Stderr, "bench-go:", err)
			os.Exit(1)
		}
		go serve(conn)
	}
}
