/* The connection to MongoDB. */
#include "worker/store/mongo/mongo.h"

#include "common/log.h"

mongoc_client_t *mongo_client_new(const mongoc_uri_t *uri)
{
    bson_error_t error = {0};
    mongoc_client_t *client = mongoc_client_new_from_uri_with_error(uri, &error);

    if (client)
        mongoc_client_set_error_api(client, MONGOC_ERROR_API_VERSION_2);
    else
        log_error("cannot set up the connection to MongoDB: %s; check the host names and the "
                  "options in the store's URI",
                  error.message);
    return client;
}
