# cmake -DDIRECTORY=… -DOUTPUT=… -P embed.cmake: writes a source file that holds the Ascend profiles
# of DIRECTORY as text: kProfiles (one a chip) and kFamilies (name and text, shared by chips).
file(GLOB chips ${DIRECTORY}/ascend-*.toml)
file(GLOB families ${DIRECTORY}/families/ascend-*.toml)
set(source "#include \"runtime/profiles.h\"\n\nnamespace lotse::emulator {\n\n")
foreach(list chips families)
  string(APPEND source "const std::vector<Profile>& embedded_${list}() {\n"
    "  static const std::vector<Profile> profiles = {\n")
  foreach(file ${${list}})
    file(READ ${file} text)
    get_filename_component(name ${file} NAME_WE)
    string(APPEND source "{\"${name}\", R\"toml(${text})toml\"},\n")
  endforeach()
  string(APPEND source "  };\n  return profiles;\n}\n\n")
endforeach()
file(WRITE ${OUTPUT} "${source}}  // namespace lotse::emulator\n")
