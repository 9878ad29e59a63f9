/* wrk has no option for a client certificate: this gives every TLS context of a program the one
   that E91_CLIENT_PEM names.  gcc -shared -fPIC client_certificate.c -o FILE.so -ldl -lssl */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>

SSL_CTX *SSL_CTX_new(const SSL_METHOD *method)
{
    SSL_CTX *(*original)(const SSL_METHOD *) = dlsym(RTLD_NEXT, "SSL_CTX_new");
    SSL_CTX *context = original(method);
    const char *file = getenv("E91_CLIENT_PEM");
    if (context && file && (SSL_CTX_use_certificate_chain_file(context, file) != 1 ||
                            SSL_CTX_use_PrivateKey_file(context, file, SSL_FILETYPE_PEM) != 1)) {
        fprintf(stderr, "no certificate and key in %s\n", file);
        exit(2);
    }
    return context;
}
