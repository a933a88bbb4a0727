import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyFactory;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.cert.CertPathBuilder;
import java.security.cert.CertStore;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.security.cert.CollectionCertStoreParameters;
import java.security.cert.PKIXBuilderParameters;
import java.security.cert.PKIXRevocationChecker;
import java.security.cert.X509CertSelector;
import java.security.cert.X509Certificate;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.Base64;
import java.util.Collection;
import java.util.EnumSet;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import javax.net.ssl.CertPathTrustManagerParameters;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLParameters;
import javax.net.ssl.SSLServerSocket;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManagerFactory;

/**
 * Judges issued certificates by Java's own TLS: a mutual handshake over loopback, each side verifying the other's chain against the
 * bundle and its leaf against the revocation lists, the client also the server's name. Prints OK, or the innermost error.
 *
 * <p>usage: Judge BUNDLE CRL SERVER-FOLDER CLIENT-FOLDER SERVER-NAME SPIFFE-ID
 */
public final class Judge {
  private static final CertificateFactory X509 = x509();

  public static void main(String[] args) {
    try {
      judge(args[0], args[1], args[2], args[3], args[4], args[5]);
      System.out.println("OK");
    } catch (Throwable failure) {
      System.out.println(innermost(failure));
      System.exit(1);
    }
  }

  private static String innermost(Throwable failure) {
    Throwable cause = failure;
    while (cause.getCause() != null) cause = cause.getCause();
    return cause.toString();
  }

  private static void judge(String bundle, String crl, String serverFolder, String clientFolder, String name, String id) throws Exception {
    SSLContext serving = context(bundle, crl, serverFolder);
    SSLContext calling = context(bundle, crl, clientFolder);
    try (SSLServerSocket listener = (SSLServerSocket) serving.getServerSocketFactory().createServerSocket(0, 1, java.net.InetAddress.getLoopbackAddress())) {
      listener.setNeedClientAuth(true);
      CompletableFuture<Certificate> caller = CompletableFuture.supplyAsync(() -> accept(listener));
      Exception clientFailure = null;
      try (SSLSocket socket = (SSLSocket) calling.getSocketFactory().createSocket(new java.net.Socket(listener.getInetAddress(), listener.getLocalPort()), name, listener.getLocalPort(), true)) {
        SSLParameters parameters = socket.getSSLParameters();
        parameters.setEndpointIdentificationAlgorithm("HTTPS");
        socket.setSSLParameters(parameters);
        socket.setSoTimeout(10_000);
        socket.startHandshake();
        // In TLS 1.3 the client is done before the server has judged it.
        socket.getInputStream().read();
      } catch (Exception failure) {
        clientFailure = failure;
      }
      X509Certificate seen = null;
      Throwable serverFailure = null;
      try {
        seen = (X509Certificate) caller.join();
      } catch (CompletionException failure) {
        serverFailure = failure;
      }
      if (clientFailure != null || serverFailure != null) {
        // Whoever refused has the reason; the other has an alert, or a connection that broke.
        String client = clientFailure == null ? "fine" : innermost(clientFailure);
        String server = serverFailure == null ? "fine" : innermost(serverFailure);
        throw new IllegalStateException("client: " + client + "; server: " + server);
      }
      String names = String.valueOf(seen.getSubjectAlternativeNames());
      if (!names.equals("[[6, " + id + "]]")) throw new IllegalStateException("the client is " + names + ", not " + id);
    }
  }

  private static Certificate accept(SSLServerSocket listener) {
    try (SSLSocket socket = (SSLSocket) listener.accept()) {
      socket.setSoTimeout(10_000);
      socket.startHandshake();
      Certificate caller = socket.getSession().getPeerCertificates()[0];
      socket.getOutputStream().write(1);
      return caller;
    } catch (Exception failure) {
      throw new CompletionException(failure);
    }
  }

  private static SSLContext context(String bundle, String crl, String folder) throws Exception {
    KeyStore anchors = KeyStore.getInstance("PKCS12");
    anchors.load(null, null);
    int index = 0;
    for (Certificate authority : certificates(Path.of(bundle))) anchors.setCertificateEntry("ca-" + index++, authority);
    PKIXBuilderParameters parameters = new PKIXBuilderParameters(anchors, new X509CertSelector());
    try (var text = Files.newInputStream(Path.of(crl))) {
      parameters.addCertStore(CertStore.getInstance("Collection", new CollectionCertStoreParameters(X509.generateCRLs(text))));
    }
    PKIXRevocationChecker revocation = (PKIXRevocationChecker) CertPathBuilder.getInstance("PKIX").getRevocationChecker();
    revocation.setOptions(EnumSet.of(PKIXRevocationChecker.Option.PREFER_CRLS, PKIXRevocationChecker.Option.NO_FALLBACK, PKIXRevocationChecker.Option.ONLY_END_ENTITY));
    parameters.addCertPathChecker(revocation);
    TrustManagerFactory trust = TrustManagerFactory.getInstance("PKIX");
    trust.init(new CertPathTrustManagerParameters(parameters));
    KeyStore own = KeyStore.getInstance("PKCS12");
    own.load(null, null);
    Certificate[] chain = certificates(Path.of(folder, "chain.pem")).toArray(new Certificate[0]);
    own.setKeyEntry("own", key(Path.of(folder, "key.pem"), chain[0]), new char[0], chain);
    KeyManagerFactory keys = KeyManagerFactory.getInstance("PKIX");
    keys.init(own, new char[0]);
    SSLContext context = SSLContext.getInstance("TLS");
    context.init(keys.getKeyManagers(), trust.getTrustManagers(), null);
    return context;
  }

  private static PrivateKey key(Path file, Certificate certificate) throws Exception {
    String base64 = Files.readString(file).replaceAll("-----[A-Z ]+-----|\\s", "");
    return KeyFactory.getInstance(certificate.getPublicKey().getAlgorithm()).generatePrivate(new PKCS8EncodedKeySpec(Base64.getDecoder().decode(base64)));
  }

  private static Collection<? extends Certificate> certificates(Path file) throws Exception {
    try (var text = Files.newInputStream(file)) {
      return X509.generateCertificates(text);
    }
  }

  private static CertificateFactory x509() {
    try {
      return CertificateFactory.getInstance("X.509");
    } catch (Exception failure) {
      throw new IllegalStateException(failure);
    }
  }
}
