// Judges issued certificates by Go's own TLS: a mutual handshake within this process, each side verifying the other's chain against
// the bundle, then both leafs against the revocation lists. Prints OK, or the first side's error.
//
// usage: certificate-judge BUNDLE CRL SERVER-FOLDER CLIENT-FOLDER SERVER-NAME SPIFFE-ID
package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	if len(os.Args) != 7 {
		fmt.Fprintln(os.Stderr, "usage: certificate-judge BUNDLE CRL SERVER-FOLDER CLIENT-FOLDER SERVER-NAME SPIFFE-ID")
		os.Exit(2)
	}
	if err := judge(os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5], os.Args[6]); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("OK")
}

func judge(bundle, crl, server, client, name, id string) error {
	authorities, err := blocks(bundle, "CERTIFICATE", x509.ParseCertificate)
	if err != nil {
		return err
	}
	lists, err := blocks(crl, "X509 CRL", x509.ParseRevocationList)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	for _, authority := range authorities {
		roots.AddCert(authority)
	}
	serverPair, err := pair(server)
	if err != nil {
		return err
	}
	clientPair, err := pair(client)
	if err != nil {
		return err
	}
	unrevoked := func(_ [][]byte, chains [][]*x509.Certificate) error {
		return check(chains[0][0], chains[0][1], lists)
	}
	near, far := net.Pipe()
	served := make(chan error, 1)
	connection := tls.Server(far, &tls.Config{
		Certificates: []tls.Certificate{serverPair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: roots,
		VerifyPeerCertificate: unrevoked,
	})
	go func() {
		err := connection.Handshake()
		if err == nil {
			_, err = connection.Write([]byte{1})
		}
		served <- err
		far.Close()
	}()
	caller := tls.Client(near, &tls.Config{
		Certificates: []tls.Certificate{clientPair}, RootCAs: roots, ServerName: name, VerifyPeerCertificate: unrevoked,
	})
	err = caller.Handshake()
	if err == nil {
		// In TLS 1.3 the client is done before the server has judged it.
		_, err = caller.Read(make([]byte, 1))
	}
	near.Close()
	serverErr := <-served
	var alert tls.AlertError
	// Whoever refused has the reason; the other only has its alert.
	if err != nil && !errors.As(err, &alert) && !strings.Contains(err.Error(), "remote error") {
		return fmt.Errorf("client: %w", err)
	}
	if serverErr != nil {
		return fmt.Errorf("server: %w", serverErr)
	}
	if err != nil {
		return fmt.Errorf("client: %w", err)
	}
	uris := connection.ConnectionState().PeerCertificates[0].URIs
	if len(uris) != 1 || uris[0].String() != id {
		return fmt.Errorf("the client is %v, not %s", uris, id)
	}
	return nil
}

// check finds the leaf's CA's list, verifies it, and looks the leaf up.
func check(leaf, issuer *x509.Certificate, lists []*x509.RevocationList) error {
	for _, list := range lists {
		if list.CheckSignatureFrom(issuer) != nil {
			continue
		}
		for _, entry := range list.RevokedCertificateEntries {
			if entry.SerialNumber.Cmp(leaf.SerialNumber) == 0 {
				return fmt.Errorf("revoked for reason %d by list %v", entry.ReasonCode, list.Number)
			}
		}
		return nil
	}
	return fmt.Errorf("no revocation list of %s", issuer.Subject)
}

func pair(folder string) (tls.Certificate, error) {
	return tls.LoadX509KeyPair(filepath.Join(folder, "chain.pem"), filepath.Join(folder, "key.pem"))
}

func blocks[T any](file, kind string, parse func([]byte) (T, error)) ([]T, error) {
	rest, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var found []T
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return found, nil
		}
		if block.Type != kind {
			return nil, fmt.Errorf("%s holds a %s", file, block.Type)
		}
		parsed, err := parse(block.Bytes)
		if err != nil {
			return nil, err
		}
		found = append(found, parsed)
	}
}
