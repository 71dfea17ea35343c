"""Facts about TensorFlow Serving that its Python package does not contain.

Messages: `tensorflow_serving/servables/tensorflow/session_bundle_config.proto` and
`tensorflow_serving/config/monitoring_config.proto`. Flags: `tensorflow_serving/model_servers/
main.cc`.
"""

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, wrappers_pb2

PACKAGE = "serving_reference"
Field = descriptor_pb2.FieldDescriptorProto

# Messages and their fields: number, and type or name of a message.
MESSAGES = {
    "BatchingParameters": {
        "max_batch_size": (1, ".google.protobuf.Int64Value"),
        "batch_timeout_micros": (2, ".google.protobuf.Int64Value"),
        "max_enqueued_batches": (3, ".google.protobuf.Int64Value"),
        "num_batch_threads": (4, ".google.protobuf.Int64Value"),
        "thread_pool_name": (5, ".google.protobuf.StringValue"),
        "allowed_batch_sizes": (6, Field.TYPE_INT64),
        "pad_variable_length_inputs": (7, Field.TYPE_BOOL),
        "enable_large_batch_splitting": (8, ".google.protobuf.BoolValue"),
        "max_execution_batch_size": (9, ".google.protobuf.Int64Value"),
    },
    "PrometheusConfig": {"enable": (1, Field.TYPE_BOOL), "path": (2, Field.TYPE_STRING)},
    "MonitoringConfig": {"prometheus_config": (1, f".{PACKAGE}.PrometheusConfig")},
}
REPEATED = {"allowed_batch_sizes"}

FLAGS = set(
    """
    allow_version_labels_for_unavailable_models batching_parameters_file enable_batching
    enable_grpc_healthcheck_service enable_model_warmup enable_per_model_batching_parameters
    enable_profiler enable_serialization_as_tensor_content enable_signature_method_name_check
    file_system_poll_wait_seconds flush_filesystem_caches grpc_channel_arguments grpc_max_threads
    grpc_socket_path load_retry_interval_micros max_num_load_retries mixed_precision
    model_base_path model_config_file model_config_file_poll_wait_seconds model_name
    monitoring_config_file num_load_threads num_request_iterations_for_warmup
    num_tflite_interpreters_per_pool num_tflite_pools num_unload_threads
    per_process_gpu_memory_fraction platform_config_file port prefer_tflite_model
    remove_unused_fields_from_bundle_metagraph rest_api_enable_cors_support rest_api_num_threads
    rest_api_port rest_api_timeout_in_ms saved_model_tags skip_initialize_tpu ssl_config_file
    tensorflow_inter_op_parallelism tensorflow_intra_op_parallelism tensorflow_session_config_file
    tensorflow_session_parallelism thread_pool_factory_config_file use_alts_credentials version
    xla_cpu_compilation_enabled xla_gpu_compilation_enabled
    """.split()
)


def message_class(name):
    """Returns the class of a message of `MESSAGES`."""
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    file = descriptor_pb2.FileDescriptorProto(
        name=PACKAGE, package=PACKAGE, syntax="proto3", dependency=[wrappers_pb2.DESCRIPTOR.name]
    )
    for message, fields in MESSAGES.items():
        declared = file.message_type.add(name=message)
        for field, (number, kind) in fields.items():
            label = Field.LABEL_REPEATED if field in REPEATED else Field.LABEL_OPTIONAL
            is_message = isinstance(kind, str)
            declared.field.add(
                name=field,
                number=number,
                label=label,
                type=Field.TYPE_MESSAGE if is_message else kind,
                type_name=kind if is_message else None,
            )
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}"))
