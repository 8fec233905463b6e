/**
 * The words of CodeMirror itself, which are English where no other are given.
 */

const FRENCH = {
  Find: "Rechercher",
  Replace: "Remplacer par",
  next: "suivant",
  previous: "précédent",
  all: "tout sélectionner",
  "match case": "respecter la casse",
  regexp: "expression rationnelle",
  "by word": "mot entier",
  replace: "remplacer",
  "replace all": "tout remplacer",
  close: "fermer",
  "current match": "occurrence actuelle",
  "on line": "à la ligne",
  "replaced match on line $": "remplacé à la ligne $",
  "replaced $ matches": "$ occurrences remplacées",
  "Go to line": "Aller à la ligne",
  go: "aller",
  "Selection deleted": "Sélection supprimée",
  "Control character": "Caractère de contrôle",
};

/** @param {"fr"|"en"} language @returns {Record<string, string>} */
export function phrases(language) {
  return language === "fr" ? FRENCH : {};
}
