# BUILD/toolkit: the directory that a program's build takes for an installed Ascend toolkit. It has
# `include` and `lib64` at their usual places, and for each operator the header that programs include.
set(toolkit ${PROJECT_BINARY_DIR}/toolkit)

function(link_into directory)
  file(MAKE_DIRECTORY ${toolkit}/${directory})
  foreach(file ${ARGN})
    get_filename_component(name ${file} NAME)
    file(CREATE_LINK ${file} ${toolkit}/${directory}/${name} SYMBOLIC)
  endforeach()
endfunction()

function(forward header to)
  file(CONFIGURE OUTPUT ${toolkit}/include/${header} CONTENT "#include \"${to}\"\n")
endfunction()

file(GLOB families CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/include/aclnnop/*.h)
file(GLOB runtime ${PROJECT_SOURCE_DIR}/include/acl/*.h)
file(GLOB collectives ${PROJECT_SOURCE_DIR}/include/hccl/*.h)
link_into(include/aclnnop ${families})
link_into(include/acl ${runtime})
link_into(include/hccl ${collectives})
file(CREATE_LINK ${CMAKE_LIBRARY_OUTPUT_DIRECTORY} ${toolkit}/lib64 SYMBOLIC)

foreach(header acl/acl_base.h acl/acl_op.h acl/acl_rt.h aclnn/acl_meta.h aclnn/aclnn_base.h)
  forward(${header} acl/acl.h)
endforeach()
forward(hccl/hccl_types.h hccl/hccl.h)

# aclnnInplaceFillScalar is in aclnn_fill_scalar.h. Some names follow another rule, and some headers
# are included by programs that call nothing of them.
set(operators _addcdiv _argmax _avgpool2d _batch_matmul _geglu _ger _grouped_matmul_v3 _logical_not
  _logsoftmax _pow _recurrent_gated_delta_rule _repeat_interleave _sum _upsample_nearest_2d)
foreach(family ${families})
  file(STRINGS ${family} calls REGEX "aclnn[A-Za-z0-9]+GetWorkspaceSize\\(")
  foreach(call ${calls})
    string(REGEX REPLACE ".*aclnn(Inplace)?([A-Za-z0-9]+)GetWorkspaceSize.*" "\\2" operator ${call})
    string(REPLACE "INT4" "Int4" operator ${operator})
    string(REGEX REPLACE "([A-Z])" "_\\1" operator ${operator})
    string(TOLOWER ${operator} operator)
    list(APPEND operators ${operator})
  endforeach()
endforeach()
list(REMOVE_DUPLICATES operators)
foreach(operator ${operators})
  forward(aclnnop/aclnn${operator}.h aclnnop/aclnn.h)
endforeach()
