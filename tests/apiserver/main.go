// A Kubernetes API server with its store, in one process on 127.0.0.1: what the tests of marker
// `cluster` talk to. No controller, no scheduler, no node: objects are kept, nothing is run.
//
//	apiserver FOLDER    keeps all in FOLDER, and writes FOLDER/kubeconfig (an administrator's)
package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"

	"go.etcd.io/etcd/server/v3/embed"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
)

func main() {
	if len(os.Args) != 2 {
		fail(fmt.Errorf("usage: apiserver FOLDER"))
	}
	folder, address := os.Args[1], free()
	port := address.Port()
	at := func(name string) string { return filepath.Join(folder, name) }
	token := random()
	store := storeAt(folder)
	write(at("tokens.csv"), token+",admin,admin,system:masters\n")
	write(at("accounts.pem"), key())
	write(at("kubeconfig"), kubeconfig(port, at("served/apiserver.crt"), token))

	server := app.NewAPIServerCommand()
	server.SetArgs([]string{
		"--etcd-servers=" + store,
		"--bind-address=127.0.0.1", "--secure-port=" + port, "--cert-dir=" + at("served"),
		"--endpoint-reconciler-type=none", "--service-cluster-ip-range=10.96.0.0/24",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + at("accounts.pem"),
		"--service-account-signing-key-file=" + at("accounts.pem"),
		"--token-auth-file=" + at("tokens.csv"), "--anonymous-auth=false",
		"--authorization-mode=RBAC", "--profiling=false",
	})
	os.Exit(cli.Run(server))
}

// storeAt starts etcd. It does not wait for the disk: what a test wrote may be lost.
func storeAt(folder string) string {
	settings := embed.NewConfig()
	settings.Dir, settings.UnsafeNoFsync, settings.LogLevel = filepath.Join(folder, "etcd"), true, "error"
	clients, peers := free(), free()
	settings.ListenClientUrls, settings.AdvertiseClientUrls = []url.URL{clients}, []url.URL{clients}
	settings.ListenPeerUrls, settings.AdvertisePeerUrls = []url.URL{peers}, []url.URL{peers}
	settings.InitialCluster = settings.InitialClusterFromName(settings.Name)
	store, err := embed.StartEtcd(settings)
	fail(err)
	<-store.Server.ReadyNotify()
	return clients.String()
}

// free is an address that nobody listens on.
func free() url.URL {
	found, err := net.Listen("tcp", "127.0.0.1:0")
	fail(err)
	defer found.Close()
	return url.URL{Scheme: "http", Host: found.Addr().String()}
}

// kubeconfig trusts the certificate that the server makes for itself when it starts.
func kubeconfig(port, trusted, token string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: test
clusters:
- name: test
  cluster: {server: "https://127.0.0.1:%s", certificate-authority: "%s"}
users:
- name: admin
  user: {token: %s}
contexts:
- name: test
  context: {cluster: test, user: admin}
`, port, trusted, token)
}

func key() string {
	made, err := rsa.GenerateKey(rand.Reader, 2048)
	fail(err)
	block := pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(made)}
	return string(pem.EncodeToMemory(&block))
}

func random() string {
	bytes := make([]byte, 16)
	_, err := rand.Read(bytes)
	fail(err)
	return hex.EncodeToString(bytes)
}

func write(path, text string) { fail(os.WriteFile(path, []byte(text), 0o600)) }

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "apiserver:", err)
		os.Exit(1)
	}
}
