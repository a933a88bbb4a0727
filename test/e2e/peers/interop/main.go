// Command interop runs grpc-go's own interop test service and test cases over mutual TLS and on a chosen address, for which
// google.golang.org/grpc/interop/{client,server} have no flags. The judge is grpc-go's code; only the transport is set up here.
//
//	interop server -addr 127.0.0.1:0 [-cert -key -ca]
//	interop client -addr HOST:PORT -servername NAME -ca -cert -key -case NAME
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"strings"
	"time"
	_ "unsafe" // for go:linkname

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/orca"
	"google.golang.org/grpc/reflection"
)

// The ORCA cases read load reports through the balancer that the interop package registers under this name.
const orcaServiceConfig = `{"loadBalancingConfig":[{"test_backend_metrics_load_balancer":{}}]}`

const caseTimeout = 30 * time.Second

// grpc-go allows report intervals below 30 s to its own interop server only, which listens on every address.
//
//go:linkname allowShortReportInterval google.golang.org/grpc/internal.ORCAAllowAnyMinReportingInterval
var allowShortReportInterval any

type settings struct {
	addr, cert, key, ca, serverName, testCase string
}

func main() {
	log.SetFlags(0)
	if len(os.Args) < 2 {
		log.Fatal("usage: interop server|client [flags]")
	}
	var s settings
	flags := flag.NewFlagSet(os.Args[1], flag.ExitOnError)
	flags.StringVar(&s.addr, "addr", "127.0.0.1:0", "host:port, or unix:/path")
	flags.StringVar(&s.cert, "cert", "", "own certificate chain (PEM); none: cleartext HTTP/2")
	flags.StringVar(&s.key, "key", "", "own key (PEM)")
	flags.StringVar(&s.ca, "ca", "", "CA (PEM) of the other side")
	flags.StringVar(&s.serverName, "servername", "", "client: SNI and the name to verify")
	flags.StringVar(&s.testCase, "case", "", "client: the test case")
	if err := flags.Parse(os.Args[2:]); err != nil {
		log.Fatal(err)
	}
	run := map[string]func(settings) error{"server": serve, "client": call}[os.Args[1]]
	if run == nil {
		log.Fatalf("unknown mode %q", os.Args[1])
	}
	if err := run(s); err != nil {
		log.Fatal(err)
	}
}

func serve(s settings) error {
	options := []grpc.ServerOption{orca.CallMetricsServerOption(nil)}
	if s.cert != "" {
		transport, err := mutualTLS(s)
		if err != nil {
			return err
		}
		options = append(options, grpc.Creds(transport))
	}
	network, address := "tcp", s.addr
	if path, isUnix := strings.CutPrefix(address, "unix:"); isUnix {
		network, address = "unix", path
	}
	listener, err := net.Listen(network, address)
	if err != nil {
		return err
	}
	server := grpc.NewServer(options...)
	recorder := orca.NewServerMetricsRecorder()
	reports := orca.ServiceOptions{MinReportingInterval: time.Second, ServerMetricsProvider: recorder}
	allowShortReportInterval.(func(*orca.ServiceOptions))(&reports)
	if err := orca.Register(server, reports); err != nil {
		return err
	}
	testgrpc.RegisterTestServiceServer(server, interop.NewTestServer(interop.NewTestServerOptions{MetricsRecorder: recorder}))
	healthpb.RegisterHealthServer(server, health.NewServer())
	reflection.Register(server)
	fmt.Println("listening on", listener.Addr())
	return server.Serve(listener)
}

func call(s settings) error {
	transport := insecure.NewCredentials()
	if s.ca != "" {
		var err error
		if transport, err = mutualTLS(s); err != nil {
			return err
		}
	}
	dial := func() (*grpc.ClientConn, error) {
		return grpc.NewClient(s.addr, grpc.WithTransportCredentials(transport),
			grpc.WithDisableServiceConfig(), grpc.WithDefaultServiceConfig(orcaServiceConfig))
	}
	conn, err := dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), caseTimeout)
	defer cancel()
	client := testgrpc.NewTestServiceClient(conn)
	run, known := map[string]func(){
		"empty_unary":                 func() { interop.DoEmptyUnaryCall(ctx, client) },
		"large_unary":                 func() { interop.DoLargeUnaryCall(ctx, client) },
		"client_streaming":            func() { interop.DoClientStreaming(ctx, client) },
		"server_streaming":            func() { interop.DoServerStreaming(ctx, client) },
		"ping_pong":                   func() { interop.DoPingPong(ctx, client) },
		"empty_stream":                func() { interop.DoEmptyStream(ctx, client) },
		"timeout_on_sleeping_server":  func() { interop.DoTimeoutOnSleepingServer(ctx, client) },
		"cancel_after_begin":          func() { interop.DoCancelAfterBegin(ctx, client) },
		"cancel_after_first_response": func() { interop.DoCancelAfterFirstResponse(ctx, client) },
		"status_code_and_message":     func() { interop.DoStatusCodeAndMessage(ctx, client) },
		"special_status_message":      func() { interop.DoSpecialStatusMessage(ctx, client) },
		"custom_metadata":             func() { interop.DoCustomMetadata(ctx, client) },
		"unimplemented_method":        func() { interop.DoUnimplementedMethod(ctx, conn) },
		"unimplemented_service":       func() { interop.DoUnimplementedService(ctx, testgrpc.NewUnimplementedServiceClient(conn)) },
		"orca_per_rpc":                func() { interop.DoORCAPerRPCTest(ctx, client) },
		"orca_oob":                    func() { interop.DoORCAOOBTest(ctx, client) },
		"rpc_soak": func() {
			interop.DoSoakTest(ctx, soak(s.addr, func() (*grpc.ClientConn, func()) { return conn, func() {} }))
		},
		"channel_soak": func() {
			interop.DoSoakTest(ctx, soak(s.addr, func() (*grpc.ClientConn, func()) {
				fresh, err := dial()
				if err != nil {
					log.Fatal(err)
				}
				return fresh, func() { fresh.Close() }
			}))
		},
	}[s.testCase]
	if !known {
		return fmt.Errorf("unknown case %q", s.testCase)
	}
	run() // ends the process with a message when the case fails
	fmt.Println("PASS", s.testCase)
	return nil
}

// soak has the sizes and counts that the interop specification gives as defaults.
func soak(addr string, channel func() (*grpc.ClientConn, func())) interop.SoakTestConfig {
	return interop.SoakTestConfig{
		RequestSize: 271828, ResponseSize: 314159, PerIterationMaxAcceptableLatency: time.Second,
		OverallTimeout: 10 * time.Second, ServerAddr: addr, NumWorkers: 1, Iterations: 10, ChannelForTest: channel,
	}
}

func mutualTLS(s settings) (credentials.TransportCredentials, error) {
	config := &tls.Config{ServerName: s.serverName, NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS12}
	if s.cert != "" {
		pair, err := tls.LoadX509KeyPair(s.cert, s.key)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{pair}
	}
	if s.ca != "" {
		pem, err := os.ReadFile(s.ca)
		if err != nil {
			return nil, err
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, errors.New("no certificate in " + s.ca)
		}
		config.RootCAs, config.ClientCAs, config.ClientAuth = pool, pool, tls.RequireAndVerifyClientCert
	}
	return credentials.NewTLS(config), nil
}
