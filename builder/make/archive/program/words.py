"""What the program says, in Spanish and in English."""

from typing import Dict

TEXTS = {
    # What is refused, or has failed.
    "no-archive": (
        "{archive} no es un archivo de Forja: {error}",
        "{archive} is no archive of Forja's: {error}",
    ),
    "damaged": (
        "el archivo está dañado o cambiado: {name} no es lo que dice su manifiesto; pida otra copia",
        "the archive is damaged or was changed: {name} is not what its manifest says; get another copy",
    ),
    "no-such-entry": (
        "el archivo no trae {path}; vea --list",
        "the archive does not bring {path}; see --list",
    ),
    "not-root": ("hace falta ser root: sudo", "this takes root: sudo"),
    "no-root": ("{root} no es una carpeta", "{root} is no folder"),
    "wrong-system": (
        "este archivo es para {title}, y este sistema es {name}: no se toca nada",
        "this archive is for {title}, and this system is {name}: nothing is touched",
    ),
    "no-packages": (
        "no se sabe qué paquetes hay instalados: {said}",
        "it can't be told which packages are installed: {said}",
    ),
    "packages": ("faltan paquetes; primero: {command}", "packages are missing; first: {command}"),
    "accounts": (
        "faltan cuentas del archivo del sitio, o su grupo: {accounts}; créelas antes (nadie más podrá entrar por SSH)",
        "accounts of the site file are missing, or their group: {accounts}; make them first (nobody else will get in by SSH)",
    ),
    "cut-off": (
        "una aplicación anterior quedó a medias; primero: --undo",
        "an earlier --apply was cut off; first: --undo",
    ),
    "busy": ("otro --apply o --undo está en marcha", "another --apply or --undo is at work"),
    "no-room": (
        "en {folder} hacen falta {mib} MiB para la copia de lo que hay",
        "{folder} needs {mib} MiB for the copy of what is there",
    ),
    "nothing-to-undo": ("no hay nada que deshacer", "there is nothing to take back"),
    "changed-since": (
        "alguien ha cambiado después: {paths}; con --keep RUTA se deja como está ahora, con --force vuelve lo de antes",
        "changed by somebody since: {paths}; --keep PATH leaves it as it is now, --force brings back what was before",
    ),
    "failed": (
        "ha fallado, y todo está como antes: {reason}",
        "it failed, and everything is as it was before: {reason}",
    ),
    "interrupted": ("interrumpido; todo está como antes", "interrupted; everything is as it was before"),
    "undo-again": ("interrumpido a medias; repita --undo", "interrupted half-way; run --undo again"),
    # What is going on.
    "unsigned": (
        "AVISO: este archivo se hizo sin firma: nada dice de quién viene",
        "WARNING: this archive was made without a signature: nothing tells whom it is from",
    ),
    "verified": (
        "{count} miembros, cada uno con su resumen; archivo {id}",
        "{count} members, each as its digest says; archive {id}",
    ),
    "signer": ("firmado con la clave {key}: gpg --verify", "signed with the key {key}: gpg --verify"),
    "no-change": (
        "nada que cambiar: {what} ya está aplicado",
        "nothing to change: {what} is applied already",
    ),
    "saving": ("copia de lo que hay: {folder}", "copy of what is there: {folder}"),
    "hook": ("guion {name}", "script {name}"),
    "taking-back": ("se deshace lo hecho", "taking back what was done"),
    "line": ("  {text}", "  {text}"),
    "applied": (
        "aplicado; {count} rutas cambiadas, y --undo las devuelve",
        "applied; {count} paths changed, and --undo takes them back",
    ),
    "to-do": ("pendiente: {text}", "to do: {text}"),
    "unwanted": (
        "pendiente: el paquete {package} no debe estar instalado",
        "to do: the package {package} must not be installed",
    ),
    "undoing": (
        "se deshace lo aplicado el {when} ({folder})",
        "taking back what was applied on {when} ({folder})",
    ),
    "undone": ("todo está como antes de aplicarlo", "everything is as it was before it was applied"),
    "undone-but": (
        "lo demás está como antes de aplicarlo",
        "all else is as it was before it was applied",
    ),
    "older": ("quedan {count} aplicaciones anteriores", "{count} earlier ones are left"),
    "left": ("{path} se queda: ahora contiene algo más", "{path} stays: it holds more by now"),
    "restart-by-hand": ("para que rija: {command}", "for it to be in force: {command}"),
    "running": ("{command}", "{command}"),
    "command-failed": ("{command}: {said}", "{command}: {said}"),
    "audit-later": (
        "pendiente: reiniciar el equipo; hasta entonces rigen las reglas de auditoría anteriores",
        "to do: reboot; until then the audit rules from before are in force",
    ),
    "some-failed": (
        "aplicado, y alguna orden ha fallado: vea journalctl -xe; --undo --restart lo deshace",
        "applied, and a command failed: see journalctl -xe; --undo --restart takes it back",
    ),
    # --check
    "would-change": (
        "cambiarían {files} archivos y carpetas; guiones que se ejecutarían:",
        "{files} files and folders would change; scripts that would run:",
    ),
    "would-hook": ("  {name}: {title}", "  {name}: {title}"),
    "would-enable": ("unidades que se habilitarían: {units}", "units that would be enabled: {units}"),
    "would-save": (
        "los guiones escriben además en: {saved} (se copian antes; --undo los devuelve)",
        "scripts write in {saved} too (copied before; --undo brings them back)",
    ),
    # Parts of lines.
    "file": ("archivo", "file"),
    "folder": ("carpeta", "folder"),
    "kind": ("ahora es {kind}", "is {kind} now"),
    "kind-file": ("un archivo", "a file"),
    "kind-dir": ("una carpeta", "a folder"),
    "kind-link": ("un enlace", "a link"),
    "kind-other": ("otra cosa", "something else"),
    "content": ("contenido", "content"),
    "no-owner": ("dueño {owner}, que un guion crea", "owner {owner}, which a script makes"),
    "acl": ("sin listas de acceso", "no access control list"),
    "secret": ("(contenido secreto, no se muestra)", "(secret content, not shown)"),
    "binary": ("(no es texto)", "(is no text)"),
    "last-newline": ("(solo cambian los finales de línea)", "(only line ends change)"),
    # Help.
    "description": (
        "Aplica a un servidor en uso el refuerzo de Forja ({profile}, {title}), lo muestra antes y lo deshace.",
        "Applies Forja's hardening ({profile}, {title}) to a server in use, shows it before, and takes it back.",
    ),
    "help-check": (
        "muestra qué cambiaría; termina con 3 si cambiaría algo",
        "show what would change; ends with 3 when something would",
    ),
    "help-apply": ("lo aplica, con copia de lo que hay", "apply it, with a copy of what is there"),
    "help-undo": ("deshace la última aplicación", "take the last --apply back"),
    "help-list": ("lista lo que trae", "list what it brings"),
    "help-show": ("muestra un archivo o un guion", "show a file or a script"),
    "help-verify": ("comprueba el resumen de cada miembro", "compare each member with its digest"),
    "help-root": ("carpeta que contiene el servidor", "folder that holds the server"),
    "help-restart": (
        "reinicia después los servicios (si no, los lista)",
        "restart the services afterwards (else they are listed)",
    ),
    "help-keep": ("con --undo: deja esta ruta como está ahora", "with --undo: leave this path as it is now"),
    "help-force": (
        "con --undo: también lo que se cambió después",
        "with --undo: what was changed since comes back too",
    ),
    "help-lang": ("idioma: es o en", "language: es or en"),
}


def texts_in(lang: str) -> Dict[str, str]:
    """Return all texts in a language."""
    return {name: both[1 if lang == "en" else 0] for name, both in TEXTS.items()}
