# What `make install` and `make package` put in place: the program, the Ascend emulator, the manual
# page, completion for three shells, and the bundled model. Manual and completion are printed by the
# program itself.
include(GNUInstallDirs)
# What is installed is built by name; the tests are not built for it.
set(CMAKE_SKIP_INSTALL_ALL_DEPENDENCY ON)

set(manual ${PROJECT_BINARY_DIR}/manual)
foreach(shell bash zsh fish)
  add_custom_command(OUTPUT ${manual}/lotse.${shell}
    COMMAND ${CMAKE_COMMAND} -E make_directory ${manual}
    COMMAND lotse completion ${shell} > ${manual}/lotse.${shell}
    DEPENDS lotse)
endforeach()
add_custom_command(OUTPUT ${manual}/lotse.1
  COMMAND ${CMAKE_COMMAND} -E make_directory ${manual}
  COMMAND lotse manual > ${manual}/lotse.1
  DEPENDS lotse)
# All that is installed.
add_custom_target(lotse_package DEPENDS
  ${manual}/lotse.1 ${manual}/lotse.bash ${manual}/lotse.zsh ${manual}/lotse.fish)
add_dependencies(lotse_package lotse ascendcl nnopbase opapi hccl acl_op_compiler)

install(TARGETS lotse RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
# Not among the system's libraries: only who asks for the emulator shall find it.
install(TARGETS ascendcl nnopbase opapi hccl acl_op_compiler
  LIBRARY DESTINATION lib/lotse/emulator)
install(FILES ${manual}/lotse.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(FILES ${manual}/lotse.bash RENAME lotse
  DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
install(FILES ${manual}/lotse.zsh RENAME _lotse
  DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions)
install(FILES ${manual}/lotse.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
install(DIRECTORY models/lotse-nano DESTINATION ${CMAKE_INSTALL_DATADIR}/lotse/models
  PATTERN training EXCLUDE)

set(CPACK_PACKAGE_NAME lotse)
set(CPACK_PACKAGE_CONTACT "The Lotse developers <lotse@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "Brings AI models trained on Nvidia hardware to other hardware")
set(CPACK_PACKAGE_DESCRIPTION
  "Lotse inspects a Hugging Face checkpoint for a target chip, ports it, verifies the port against
 the original and runs it: Huawei Ascend first, any CPU by default.")
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
include(CPack)
