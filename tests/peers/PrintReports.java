import com.pixelmed.dicom.AttributeList;
import com.pixelmed.dicom.StructuredReport;

/** Prints each report as PixelMed's viewers read it. */
public class PrintReports {
    public static void main(String[] paths) throws Exception {
        for (String path : paths) {
            AttributeList list = new AttributeList();
            list.read(path);
            System.out.println("FILE " + path);
            System.out.println(new StructuredReport(list));
        }
    }
}
