/* Gives h2load a client certificate, which it has no option for: preload this and set CLIENT_PEM to a file with the
 * certificate chain and the key. Every TLS context that the program makes then presents it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <openssl/ssl.h>

SSL_CTX *SSL_CTX_new(const SSL_METHOD *method) {
  static SSL_CTX *(*next)(const SSL_METHOD *);
  if (!next) next = (SSL_CTX * (*)(const SSL_METHOD *)) dlsym(RTLD_NEXT, "SSL_CTX_new");
  SSL_CTX *context = next(method);
  const char *pem = getenv("CLIENT_PEM");
  if (context && pem &&
      (SSL_CTX_use_certificate_chain_file(context, pem) != 1 || SSL_CTX_use_PrivateKey_file(context, pem, SSL_FILETYPE_PEM) != 1))
    abort(); /* a load run without its certificate would measure refusals */
  return context;
}
