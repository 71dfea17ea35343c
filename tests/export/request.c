/* Loads a SavedModel through TensorFlow's C API, like TensorFlow Serving's loader, and predicts one
 * image, without Python and without custom operators.
 *
 *     request MODEL tensors INPUT OUTPUT HEIGHT WIDTH < float32 pixels > class ids
 *     request MODEL bytes INPUT OUTPUT < an encoded image > the PNG file of the mask
 *
 * INPUT and OUTPUT are operations named by the signature, such as serving_default_images:0.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensorflow/c/c_api.h"

static TF_Status* status;

static void check(const char* what) {
  if (TF_GetCode(status) == TF_OK) return;
  fprintf(stderr, "%s: code %d: %s\n", what, TF_GetCode(status), TF_Message(status));
  exit(TF_GetCode(status) == TF_INVALID_ARGUMENT ? 3 : 1);
}

static TF_Output find(TF_Graph* graph, const char* name) {
  char operation[256];
  snprintf(operation, sizeof operation, "%s", name);
  char* colon = strrchr(operation, ':');
  if (colon) *colon = '\0';
  TF_Output output = {TF_GraphOperationByName(graph, operation), colon ? atoi(colon + 1) : 0};
  if (!output.oper) fprintf(stderr, "no operation %s\n", operation), exit(1);
  return output;
}

static unsigned char* read_all(size_t* length) {
  size_t capacity = 1 << 16;
  unsigned char* data = malloc(capacity);
  for (*length = 0;;) {
    size_t got = fread(data + *length, 1, capacity - *length, stdin);
    if (!got) return data;
    *length += got;
    if (*length == capacity) data = realloc(data, capacity *= 2);
  }
}

static TF_Tensor* pixels(const unsigned char* data, size_t length, int64_t height, int64_t width) {
  int64_t shape[] = {1, height, width, 3};
  TF_Tensor* tensor = TF_AllocateTensor(TF_FLOAT, shape, 4, 4 * 3 * height * width);
  if (length != TF_TensorByteSize(tensor)) fprintf(stderr, "%zu bytes\n", length), exit(1);
  memcpy(TF_TensorData(tensor), data, length);
  return tensor;
}

static TF_Tensor* encoded(const unsigned char* data, size_t length) {
  int64_t shape[] = {1};
  TF_Tensor* tensor = TF_AllocateTensor(TF_STRING, shape, 1, sizeof(TF_TString));
  TF_TString* string = TF_TensorData(tensor);
  TF_StringInit(string);
  TF_StringCopy(string, (const char*)data, length);
  return tensor;
}

int main(int argc, char** argv) {
  if (argc < 5) return 2;
  status = TF_NewStatus();
  TF_Graph* graph = TF_NewGraph();
  TF_SessionOptions* options = TF_NewSessionOptions();
  const char* tags[] = {"serve"};
  TF_Session* session =
      TF_LoadSessionFromSavedModel(options, NULL, argv[1], tags, 1, graph, NULL, status);
  check("loading");

  size_t length;
  unsigned char* data = read_all(&length);
  int of_pixels = !strcmp(argv[2], "tensors");
  TF_Output input = find(graph, argv[3]), output = find(graph, argv[4]);
  TF_Tensor* request =
      of_pixels ? pixels(data, length, atoi(argv[5]), atoi(argv[6])) : encoded(data, length);
  TF_Tensor* result = NULL;
  TF_SessionRun(session, NULL, &input, &request, 1, &output, &result, 1, NULL, 0, NULL, status);
  check("running");

  if (of_pixels) {
    fwrite(TF_TensorData(result), 1, TF_TensorByteSize(result), stdout);
  } else {
    const TF_TString* string = TF_TensorData(result);
    fwrite(TF_StringGetDataPointer(string), 1, TF_StringGetSize(string), stdout);
  }
  TF_DeleteTensor(request);
  TF_DeleteTensor(result);
  TF_CloseSession(session, status);
  TF_DeleteSession(session, status);
  TF_DeleteGraph(graph);
  free(data);
  return 0;
}
